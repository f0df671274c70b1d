"""Whole commands without their printing: what the command line calls, and what a script can call instead of it."""
