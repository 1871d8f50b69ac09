"""Tests of `mammo.inference`."""
