#!/usr/bin/env bash
# ESC-50: ResNet-50 plain, with SE and with CBAM, three seeds each; further arguments go to `earmark suite`.
set -euo pipefail
cd "$(dirname "$0")"
python=(python)
python -c "import earmark" 2>/dev/null || python=(uv run python)
"${python[@]}" product/datasets/make_split.py --val_ratio 0.1 --seed 123
"${python[@]}" -m earmark suite configs/product_esc50.toml --runs product/artifacts/runs "$@"
