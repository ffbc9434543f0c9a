#!/usr/bin/env bash
# How fast Nightlatch reacts, and what its daemon needs. Needs root. Everything happens in
# namespaces of its own, which end with this script.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
tool=$(readlink -f "${CARGO_TARGET_DIR:-target}/release/examples/reaction")
# Processes of its own as well: `up` looks at all there are.
exec unshare --mount --pid --fork --kill-child --mount-proc "$tool" "$@"
