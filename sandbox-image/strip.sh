#!/bin/sh
# Make the installed packages lean and quick to import. usage: strip.sh PREFIX
set -eu
site="$1/lib/python3.13/dist-packages"
here="$(dirname "$0")"
# What is only for building, reading or testing the packages. These three import their tests when imported.
rm -rf "$1/bin" "$1/include" "$1/share/doc" "$1/share/man" "$1/etc"
find "$site" -type d -name tests -not -path '*/astropy/*' -not -path '*/bottleneck/*' -not -path '*/tables/*' \
    -prune -exec rm -rf {} +
find "$site" -type f \( -name '*.a' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.cpp' \
    -o -name '*.h' -o -name '*.hpp' \) -delete
rm -rf "$site"/pyarrow/include "$site"/numpy/*/include "$site"/setuptools* "$site"/pip*
rm -rf "$site"/adbc_driver_duckdb  # needs a driver manager that nobody here has
# Glyphs that the first font lacks come from the CJK and the emoji font: by default, in every style, in seaborn's themes.
more="WenQuanYi Micro Hei, Symbola"
data="$site/matplotlib/mpl-data"
sed -i "s/^#font\.family:.*/#font.family: DejaVu Sans, $more/" "$data/matplotlibrc"
sed -i "s/^font\.family *: *sans-serif *$/font.family: sans-serif, $more/" "$data"/stylelib/*.mplstyle
sed -i -e 's/"font\.family": \["sans-serif"\]/"font.family": ["sans-serif", "WenQuanYi Micro Hei", "Symbola"]/' \
    -e 's/font="sans-serif"/font=("sans-serif", "WenQuanYi Micro Hei", "Symbola")/' "$site/seaborn/rcmod.py"
grep -q "^#font.family: DejaVu Sans, $more" "$data/matplotlibrc"
grep -q "Symbola" "$site/seaborn/rcmod.py"
python3 "$here/fontcache.py" /opt/sandglass/fonts
python3 -m compileall -q -f -j 0 --invalidation-mode unchecked-hash "$site" || true
