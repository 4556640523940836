"""The tests, in the rooms of the package; `ROOT` is the checkout that they test."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
