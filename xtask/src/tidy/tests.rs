//! Each rule: what it finds, and what it must not find.

use super::{File, rules};

/// Every finding over one file, as `line what`.
fn check(path: &str, text: &str, expected: &[&str]) {
    let file = File { path: path.to_owned(), text: text.to_owned() };
    let findings = rules::check(&[file]);
    let found: Vec<String> =
        findings.iter().map(|finding| format!("{} {}", finding.line, finding.what)).collect();
    assert_eq!(found, expected, "{path}:\n{text}");
}

#[test]
fn unfinished_work_is_found() {
    let mark = concat!("TO", "DO");
    check("docs/a.md", &format!("fine\n{mark}: later\n"), &[&format!("2 `{mark}`")]);
    check("a.sh", "mktemp /var/tmp/nightlatch.XXXXXX\n", &[]);
    check("a.md", "the TODOS of old\n", &[]);
    let call = concat!("unimpl", "emented!");
    check("crates/nightlatch/src/run.rs", &format!("{call}()\n"), &[&format!("1 `{call}`")]);
}

#[test]
fn a_test_is_left_out_only_where_another_runs_it() {
    let (mark, place) = (concat!("#[ign", "ore"), "crates/a/tests/it/a.rs");
    check(place, &format!("{mark}]\nfn a() {{}}\n"), &[&format!("1 `{mark}]`")]);
    let part = format!("{mark} = \"a part of whole\"]\nfn a() {{}}\n");
    check(place, &part, &[&format!("1 `{mark}]`")]);
    check(place, &format!("{part}fn whole() {{ run(a) }}\n"), &[]);
}

#[test]
fn paths_of_a_developers_machine_are_found() {
    let path = concat!("/wo", "rk/");
    check("README.md", &format!("see {path}notes\n"), &[&format!("1 the path `{path}`")]);
    check("README.md", &format!("see frame{path}notes\n"), &[]);
    check("examples/a.md", concat!("/ho", "me/anna\n"), &[]);
}

#[test]
fn long_files_are_found_but_their_tests_do_not_count() {
    let lines = "fn a() {}\n".repeat(500);
    check("crates/a/src/a.rs", &lines, &[]);
    check("crates/a/src/a.rs", &format!("{lines}fn b() {{}}\n"), &["500 501 lines"]);
    check("crates/a/src/a.rs", &format!("{lines}#[cfg(test)]\nmod tests {{\n{lines}}}\n"), &[]);
}

#[test]
fn unsafe_stays_in_the_netfilter_crate_with_a_reason() {
    check("crates/nightlatch/src/a.rs", "unsafe { f() }\n", &["1 `unsafe`"]);
    check("crates/nightlatch/src/a.rs", "#![forbid(unsafe_code)]\n// unsafe is bad\n", &[]);
    let netfilter = "crates/nightlatch-netfilter/src/a.rs";
    check(netfilter, "// SAFETY: the pointer is ours\nunsafe { f() }\n", &[]);
    check(netfilter, "unsafe { f() }\n", &["1 `unsafe` without a reason"]);
}

#[test]
fn the_core_names_nothing_of_the_outside_world() {
    let core = "crates/nightlatch-core/src/a.rs";
    check(core, "use std::fs;\n", &["1 names `std::fs`"]);
    check(core, "use std::net::IpAddr;\nuse std::time::Duration;\n", &[]);
    check(core, "\nuse std::net::{IpAddr, TcpStream};\n", &["2 names `std::net::TcpStream`"]);
    check(
        core,
        "use std::{collections::{BTreeMap}, time::{Duration, Instant as Now}, fs::*};\n",
        &["1 names `std::time::Instant`", "1 names `std::fs`"],
    );
    check(core, "fn f() { let x = std::thread::spawn(g); }\n", &["1 names `std::thread::spawn`"]);
    check(
        core,
        "// std::fs\nconst A: &str = \"std::fs\";\nconst B: &str = r#\"\"std::fs\"#;\n",
        &[],
    );
    check(core, "const A: char = '\"';\nuse std::fs;\n", &["2 names `std::fs`"]);
    check(
        core,
        "fn f<'a>(x: &'a str) {}\nuse std::process::Command;\n",
        &["2 names `std::process::Command`"],
    );
    check(core, "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n", &[]);
    check(core, "#[cfg(test)]\nmod tests;\nuse std::fs;\n", &["3 names `std::fs`"]);
    check("crates/nightlatch-core/src/a/tests.rs", "use std::fs;\n", &[]);
    check("crates/nightlatch-core/src/a.rs", "use crate::rand::x;\nuse operand::x;\n", &[]);
}

#[test]
fn io_stays_in_its_place() {
    let text = "//! A feature.\nuse std::fs;\n";
    let feature = "crates/nightlatch/src/features/boot";
    check(&format!("{feature}/mod.rs"), text, &["2 names `std::fs`"]);
    check("crates/nightlatch/src/shell/store.rs", text, &[]);
    check("crates/nightlatch/src/run.rs", text, &[]);
    check("crates/nightlatch/src/cli.rs", "use std::process::ExitCode;\n", &[]);
    check("crates/nightlatch/src/cli.rs", text, &["2 names `std::fs`"]);
    let files = ["io.rs", "io/proc.rs"]
        .map(|name| File { path: format!("{feature}/{name}"), text: text.to_owned() });
    let page = File { path: format!("{feature}/mod.rs"), text: "//! A feature.\n".to_owned() };
    let [first, second] = files;
    assert_eq!(rules::check(&[page, first, second]), []);
}

#[test]
fn features_do_not_import_each_other() {
    let check = |uses: &str, expected: &[&str]| {
        let file = |name: &str, uses: &str| File {
            path: format!("crates/nightlatch/src/features/{name}/mod.rs"),
            text: format!("//! A feature.\n{uses}"),
        };
        let findings = rules::check(&[file("boot", uses), file("up", "")]);
        let found: Vec<&str> = findings.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(found, expected, "{uses}");
    };
    let named = "`boot` names the feature `up`";
    check("use crate::features::boot::io;\nuse super::super::shell;\n", &[]);
    check("use crate::features::{boot::io, up::plan};\n", &[named]);
    check("fn f() { nightlatch::features::up::plan() }\n", &[named]);
    check("use super::up;\n", &[named]);
    check("use crate::features::{Context, Run};\nuse super::Run;\n", &[]);
    check("use crate::shell::store;\n", &[]);
}

#[test]
fn a_feature_is_named_in_its_folders_and_the_registers_alone() {
    let core = "crates/nightlatch-core/src";
    let check = |path: &str, uses: &str, expected: &[&str]| {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            text: format!("//! A feature.\n{text}"),
        };
        let own = file(&format!("{core}/features/big_bans/mod.rs"), "");
        let other = file(&format!("{core}/features/blocks/mod.rs"), "");
        let findings = rules::check(&[own, other, file(path, uses)]);
        let found: Vec<&str> = findings.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(found, expected, "{path}: {uses}");
    };
    let named = "names the feature `big_bans`";
    let engine = &format!("{core}/engine/mod.rs");
    check(engine, "use crate::features::{State, View};\n", &[]);
    check(engine, "use crate::features::{State, big_bans};\n", &[named]);
    check(engine, "fn f() { g(By::BigBans(key)) }\n", &[named]);
    check(engine, "fn f() { g(By::BigBansOfOld(key)) }\n", &[]);
    check(&format!("{core}/engine/tests.rs"), "use crate::features::big_bans;\n", &[]);
    check(&format!("{core}/features/register.rs"), "use super::big_bans::BigBans;\n", &[]);
    check(&format!("{core}/features/big_bans/key.rs"), "use super::super::big_bans::Key;\n", &[]);
    check(
        &format!("{core}/features/blocks/key.rs"),
        "use super::super::big_bans::Key;\n",
        &[named],
    );
    let program = "crates/nightlatch/src";
    let uses = "use nightlatch_core::features::big_bans::Request;\n";
    check(&format!("{program}/run.rs"), uses, &[named]);
    check(&format!("{program}/features/big_bans/mod.rs"), uses, &[]);
    check(&format!("{program}/features/mod.rs"), uses, &[]);
}

#[test]
fn the_program_that_runs_as_root_crafts_no_packets() {
    for folder in ["nightlatch", "nightlatch-core", "nightlatch-netfilter", "nightlatch-parse"] {
        let source = format!("crates/{folder}/src/a.rs");
        check(&source, "use nightlatch_lab::Stage;\n", &["1 names `nightlatch_lab`"]);
        check(&source, "// Type::RAW\nfn f() { unset::nss(\"setns\") }\n", &[]);
        check(&source, "fn f() { nightlatch_laboratory::f() }\n", &[]);
        let tests = "#[cfg(test)]\nmod tests {\n    use nightlatch_lab::Stage;\n}\n";
        check(&source, tests, &[]);
    }
    let program = "crates/nightlatch/src/shell/a.rs";
    check(
        program,
        "let a = Socket::new(\n    Domain::IPV4, Type::RAW, None);\n",
        &["2 names `Type::RAW`"],
    );
    check(program, "Command::new(\"nsenter\")\n", &["1 names `\"nsenter\"`"]);
    check(program, "Command::new(\"nsenters\")\n", &[]);
    check(program, "f(Domain::PACKET)\n", &["1 names `Domain::PACKET`"]);
    check("crates/nightlatch/src/shell/streams.rs", "f(Domain::PACKET)\n", &[]);
    check("crates/nightlatch/src/shell/a/tests.rs", "f(Domain::PACKET)\n", &[]);
    check("crates/nightlatch/tests/it/a.rs", "use nightlatch_lab::Stage;\n", &[]);
    check("crates/nightlatch-lab/src/stage.rs", "Command::new(\"nsenter\")\n", &[]);
}

#[test]
fn the_lab_and_the_program_stay_apart() {
    let manifest = "crates/nightlatch/Cargo.toml";
    let depends = "depends on nightlatch-lab";
    let named = "nightlatch-lab.workspace = true\n";
    check(manifest, &format!("[dev-dependencies]\n{named}"), &[]);
    check(manifest, &format!("[dependencies]\n{named}"), &[&format!("2 {depends}")]);
    check(manifest, &format!("[build-dependencies]\n{named}"), &[&format!("2 {depends}")]);
    let renamed = "[dependencies]\nlab = { package = \"nightlatch-lab\" }\n";
    check(manifest, renamed, &[&format!("2 {depends}")]);
    let table = "[dependencies.nightlatch-lab]\n";
    check(manifest, table, &[&format!("1 {depends}")]);
    let lab = "crates/nightlatch-lab/Cargo.toml";
    check(lab, "[package]\nname = \"nightlatch-lab\"\n[dependencies]\nserde = \"1\"\n", &[]);
    check(
        lab,
        "[dependencies]\nnightlatch-core.workspace = true\n",
        &["2 nightlatch-lab depends on the program"],
    );
}

#[test]
fn every_feature_says_what_it_is() {
    let place = "crates/nightlatch/src/features/boot/mod.rs";
    check(place, "mod io;\n", &["1 no doc comment at the top"]);
    check("crates/nightlatch/src/features/boot/logic.rs", "\n", &["1 no doc comment at the top"]);
    check("crates/nightlatch/src/features/mod.rs", "pub mod boot;\n", &[]);
}

#[test]
fn every_example_is_read_by_a_test() {
    check("examples/open.toml", "mode = \"open\"\n", &["1 no test reads this example"]);
    check("pkg/open.toml", "mode = \"open\"\n", &[]);
    let example = || File { path: "examples/open.toml".to_owned(), text: String::new() };
    let test =
        |text: &str| File { path: "crates/a/tests/it/a.rs".to_owned(), text: text.to_owned() };
    assert_eq!(rules::check(&[example(), test("read(\"open.toml\")")]), []);
    assert_eq!(rules::check(&[example(), test("read_dir(\"examples\")")]), []);
    assert_eq!(rules::check(&[example(), test("read(\"other.toml\")")]).len(), 1);
}
