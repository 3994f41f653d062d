"""Texts and labels to labelled spans."""
