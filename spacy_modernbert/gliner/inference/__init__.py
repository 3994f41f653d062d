"""Texts and labels to labeled spans."""
