#!/usr/bin/env bash
# A folder of src/ includes only from those before it in this list (and from itself).
set -u
cd "$(dirname "$0")/.." || exit 1
order="base tensor ops text data model train sample judge eval lab scan report api cli"
bad=0
above=""
for l in $order; do
  above="$above $l"
  for f in src/"$l"/*.c src/"$l"/*.cc src/"$l"/*.h; do
    [ -e "$f" ] || continue
    while read -r inc; do
      d=${inc%%/*}
      case " $above " in *" $d "*) ;; *) echo "$f includes $inc: $d is not a layer before $l"; bad=1 ;; esac
    done < <(sed -n 's/^#include "\([a-z]*\/[^"]*\)".*/\1/p' "$f")
    n=$(wc -l < "$f"); [ "$n" -gt 600 ] && { echo "$f: $n lines (600 at most)"; bad=1; }
  done
  n=$(ls src/"$l"/*.h 2>/dev/null | wc -l)
  [ "$l" != base ] && [ -d "src/$l" ] && [ "$n" -gt 3 ] && { echo "src/$l: $n headers"; bad=1; }
done
exit $bad
