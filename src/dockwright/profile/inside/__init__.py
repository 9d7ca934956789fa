"""What is loaded into the Python processes of a profiled run; this directory is on their path."""
