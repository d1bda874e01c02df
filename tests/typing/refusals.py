"""What a type checker must refuse: each of these lines is an error at run time too. Read by tests/test_typing.py."""

import numpy as np

import rowfold as rf

x = np.zeros((3, 4), dtype=np.float32)
walks = rf.library.softmax.walks
rf.library.softmax.using(strateggy="online")
rf.kernel(axis="last")
rf.options(stratgy="online")
name: int = rf.library.softmax.name
plan = rf.library.softmax.explain(x.shape, "float32").plam
rf.softmaxx(x)
