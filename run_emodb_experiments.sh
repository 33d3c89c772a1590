#!/usr/bin/env bash
# EmoDB: all five networks, three seeds each; further arguments go to `earmark suite`.
set -euo pipefail
cd "$(dirname "$0")"
python=(python)
python -c "import earmark" 2>/dev/null || python=(uv run python)
"${python[@]}" product/datasets/make_split_emodb.py
"${python[@]}" -m earmark suite configs/product_emodb.toml --runs product/artifacts/runs "$@"
