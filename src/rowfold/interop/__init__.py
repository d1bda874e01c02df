"""Kernels inside other array libraries. Each module needs its library, and nothing else here imports it."""
