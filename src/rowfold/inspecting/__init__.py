"""Looking at kernels: plans in words, stages as text or files, the values of a row, reference and check."""
