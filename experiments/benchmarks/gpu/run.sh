#!/bin/sh
# Every figure of this folder in one go, under six minutes on one H100: JSON files in a folder, and all of them printed.
#
#   sh experiments/benchmarks/gpu/run.sh [FOLDER]      (without one a new temporary folder, which is named)
#
# PYTHON is the interpreter (python); LINEAR and NETWORKS are further options of the two programs.
# Where there is no GPU both skip and say so.
set -u
cd "$(dirname "$0")/../../.." || exit 1
folder=${1:-$(mktemp -d)}
mkdir -p "$folder" || exit 1
echo "figures go to $folder"
status=0
for part in linear networks; do
  case $part in linear) options=${LINEAR:-} ;; *) options=${NETWORKS:-} ;; esac
  # shellcheck disable=SC2086
  if "${PYTHON:-python}" -m "experiments.benchmarks.gpu.$part" --json "$folder/$part.json" $options \
    2>"$folder/$part.log"; then
    echo "== $part"
    cat "$folder/$part.json"
  else
    status=1
    echo "== $part failed, see $folder/$part.log:"
    tail -n 20 "$folder/$part.log"
  fi
done
exit $status
