"""An observation in, a delta out: tolerances, valid regions, metrics and the judgement itself.

``tolerance`` and this module do not import torch; everything else here does.
"""
