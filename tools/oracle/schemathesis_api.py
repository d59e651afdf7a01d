"""Schemathesis over a running API: `schemathesis_api.py URL KEY [EXAMPLES]`, KEY `-` where none is needed.

Requests are made from the OpenAPI document, valid and not: from its examples, from the bounds of each field, and, where
EXAMPLES is given, so many more at random (by a fixed seed) for each operation. Each answer must be one that the document
has: status, content type, headers, body; no 5xx but 501 (what a server was not given); keys must be asked for.
Left out is that what fits the schema is accepted: base64 of random bytes fits, and is no picture.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 501]
"""


def main() -> int:
    url, key = sys.argv[1:3]
    examples = sys.argv[3:4]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "schemathesis.toml"
        config.write_text(CONFIG)
        command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
        command += ["--config-file", str(config), "run", f"{url}/openapi.json"]
        if key != "-":
            command += ["--header", f"Authorization: Bearer {key}"]
        command += ["--checks", "all", "--exclude-checks", "positive_data_acceptance"]
        command += ["--phases", "examples,coverage" + (",fuzzing" if examples else "")]
        if examples:
            command += ["--max-examples", examples[0], "--seed", "1"]
        command += ["--workers", "2", "--no-shrink", "--warnings", "off"]
        command += ["--suppress-health-check", "all", "--request-timeout", "30"]
        return subprocess.run(command, cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
