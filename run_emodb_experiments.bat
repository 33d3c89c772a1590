@echo off
rem EmoDB: all five networks, three seeds each; further arguments go to `earmark suite`.
cd /d "%~dp0"
python product/datasets/make_split_emodb.py || exit /b
python -m earmark suite configs/product_emodb.toml --runs product/artifacts/runs %*
