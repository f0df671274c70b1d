"""What a prune would take on devices that are not here: the compiler is asked, nothing is run."""
