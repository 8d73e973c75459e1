"""The folders of runs, sweeps and studies as they are read back: where they are."""
