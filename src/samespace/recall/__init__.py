"""Recall: measured, declared and watched."""
