"""One experiment from a composed configuration: built, run in its folder, shown."""
