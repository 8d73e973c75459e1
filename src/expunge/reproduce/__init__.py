"""The papers' tables from one command: run, compare with what was published, say what came out."""

from __future__ import annotations
