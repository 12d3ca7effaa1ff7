"""A CloudWatch Logs to test against, with its moods: in a thread, or as a process of its own.

``with served(CloudWatch()) as url`` serves it while the block lasts, and ``python -m vectadb_agent.testing.cloudwatch
[--seed N] [--account ID] [--region R] [--port P]`` until it is terminated; that writes its address as the first line of
its output. It takes AWS's requests as any endpoint does (``AWS_ENDPOINT_URL``), and is driven by its methods, or from
another process by JSON under ``/_rig``:

=====================  ================================================================================
``POST /_rig/put``     ``{"group": …, "stream": …, "events": [[time_ms, "message", lag_ms], …]}``: events that
                       become visible ``lag_ms`` after now; group and stream are created where they lack
``POST /_rig/faults``  a :class:`Faults`: what goes wrong from now on; ``{}``: nothing
``GET /_rig/faults``   the same, as it is now
``GET /_rig/ledger``   ``[[account, group, stream, log_id, message], …]``: all that was ever put
``GET /_rig/arrivals`` ``[[monotonic seconds, operation, group, error code, events], …]``: requests
``GET /_rig/visible``  whether all that was put is visible by now
=====================  ================================================================================
"""

from vectadb_agent.testing.cloudwatch.application import CloudWatch, served
from vectadb_agent.testing.cloudwatch.faults import Faults
from vectadb_agent.testing.cloudwatch.store import Put

__all__ = ["CloudWatch", "Faults", "Put", "served"]
