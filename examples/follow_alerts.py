"""Follows the alerts of a deployment, as a dashboard would: .venv/bin/python examples/follow_alerts.py URL DEPLOYMENT

The token (role operator) comes from the environment variable OVERT_TOKEN.
"""

import json
import os
import sys

import httpx


def main(url: str, deployment: str) -> None:
    if "OVERT_TOKEN" not in os.environ:
        sys.exit("OVERT_TOKEN is not set: it holds a token of role operator")
    headers = {"Authorization": f"Bearer {os.environ['OVERT_TOKEN']}"}
    # The server sends a comment every ten seconds, so half a minute of silence means that it is gone.
    path = f"{url}/v1/deployments/{deployment}/alerts/stream"
    with httpx.stream("GET", path, headers=headers, timeout=30) as response:
        if response.is_error:
            sys.exit(f"{response.status_code}: {response.read().decode()}")
        event = ""
        for line in response.iter_lines():
            if line.startswith("event:"):
                event = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                print(event, json.dumps(json.loads(line.removeprefix("data:")), indent=2), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
