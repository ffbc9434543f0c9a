# shellcheck shell=bash
# For benchmarks that compare this version with another.

# Sets `old` to the program given by OLD, or to an empty string. If OLD is a revision of this
# repository, it is built in a temporary work tree.
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
