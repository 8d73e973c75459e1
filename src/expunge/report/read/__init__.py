"""What is in folders of runs, sweeps and studies, and what it is called."""
