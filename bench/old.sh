# shellcheck shell=bash
# For benchmarks that compare this version with another one.

# Sets `old` to the program that OLD names, or to nothing. A revision of this repository is built
# in a work tree of its own, which is removed again.
old_program() {
    old=${OLD:-}
    if [[ -z $old || -x $old ]]; then
        return
    fi
    local folder
    folder=$(mktemp --directory)
    git worktree add --quiet --detach "$folder/source" "$old"
    (cd "$folder/source" && CARGO_TARGET_DIR=$folder/target \
        cargo build --quiet --release --locked --package nightlatch --bin nightlatch)
    git worktree remove --force "$folder/source"
    old=$folder/nightlatch
    mv "$folder/target/release/nightlatch" "$old"
    rm --recursive --force "$folder/target"
    # The program may be started again in a namespace of its own.
    export OLD=$old
}
