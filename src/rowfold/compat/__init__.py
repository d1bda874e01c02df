"""Functions of other libraries under their own names and signatures, computed by kernels."""
