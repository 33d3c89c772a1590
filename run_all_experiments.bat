@echo off
rem ESC-50: ResNet-50 plain, with SE and with CBAM, three seeds each; further arguments go to `earmark suite`.
setlocal
cd /d "%~dp0"
set "python=python"
call python -c "import earmark" >nul 2>nul
if errorlevel 1 set "python=uv run python"
call %python% product/datasets/make_split.py --val_ratio 0.1 --seed 123
if not "%errorlevel%"=="0" exit /b %errorlevel%
call %python% -m earmark suite configs/product_esc50.toml --runs product/artifacts/runs %*
exit /b %errorlevel%
