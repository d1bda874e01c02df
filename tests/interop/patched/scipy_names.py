"""A pytest plugin: SciPy's own tests of softmax, log_softmax and logsumexp, run on rowfold's."""

from scipy import special
from scipy._lib._array_api import xp_capabilities_table

from rowfold.compat import scipy as ours

for name in ours.__all__:
    ours._theirs(name)  # what is forwarded goes to SciPy still
    xp_capabilities_table[getattr(ours, name)] = xp_capabilities_table[getattr(special, name)]
    setattr(special, name, getattr(ours, name))
