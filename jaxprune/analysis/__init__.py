"""What pruning removed. Counts and numbers from files and hidden states; no printing, no figures."""
