"""``python -m vectadb_agent.testing.cloudwatch``: serve until terminated."""

import argparse
import sys
import threading

from vectadb_agent.testing.cloudwatch import CloudWatch, served

options = argparse.ArgumentParser(
    prog="python -m vectadb_agent.testing.cloudwatch", description="A CloudWatch Logs to test against."
)
options.add_argument("--seed", type=int, default=0, help="of what goes wrong")
options.add_argument("--account", default="123456789012")
options.add_argument("--region", default="us-east-1")
options.add_argument("--port", type=int, default=0, help="default: a free one")
given = options.parse_args()
with served(CloudWatch(seed=given.seed, account=given.account, region=given.region), given.port) as url:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    threading.Event().wait()
