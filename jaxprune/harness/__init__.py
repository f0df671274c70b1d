"""jaxprune as a backend of lm-evaluation-harness, whose tasks then run unchanged.

In Python: ``lm_eval.simple_evaluate(model=JaxpruneLM("MODEL"), tasks=[...])``. On a command line: ``python -m
jaxprune.harness``, which is the harness's own ``lm_eval`` that knows ``--model jaxprune`` as well; by itself the
harness looks for backends in no other package. Needs the extra ``lm-eval``, and no PyTorch.
"""

from jaxprune.errors import RequestError

try:
    from jaxprune.harness.backend import JaxpruneLM
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("lm_eval"):
        raise
    raise RequestError("lm-evaluation-harness is not installed; pip install 'jaxprune[lm-eval]'.") from error

__all__ = ["JaxpruneLM"]
