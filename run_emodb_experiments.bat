@echo off
rem EmoDB: all five networks, three seeds each; further arguments go to `earmark suite`.
setlocal
cd /d "%~dp0"
set "python=python"
call python -c "import earmark" >nul 2>nul
if errorlevel 1 set "python=uv run python"
call %python% product/datasets/make_split_emodb.py
if not "%errorlevel%"=="0" exit /b %errorlevel%
call %python% -m earmark suite configs/product_emodb.toml --runs product/artifacts/runs %*
exit /b %errorlevel%
