//! Reports as they come out of the program.

use crate::program::{Bench, Run, image_archive, tar_of, token};

/// What differs between runs, made the same.
fn normalised(run: &Run) -> String {
    let token_free = run.stdout.clone();
    let patterns = [
        (r"k1:[0-9a-f]{32}", "k1:[fingerprint]"),
        (r#""(start|end)TimeUtc": ?"[^"]*""#, "\"$1TimeUtc\": \"[time]\""),
        (r#""rules(Hash)?": ?"[0-9a-f]{32}""#, "\"rules$1\": \"[hash]\""),
    ];
    patterns.iter().fold(token_free, |text, (pattern, with)| {
        regex::Regex::new(pattern).unwrap().replace_all(&text, *with).into_owned()
    })
}

fn tree() -> Bench {
    let bench = Bench::new();
    bench.keep_key();
    bench.write("t/app/.env", format!("# ü\nGITHUB_TOKEN={}\n", token(1)));
    bench.write("t/tests/fixture.env", format!("GITHUB_TOKEN={}\n", token(2)));
    bench.write("t/copy/of.env", format!("x\ny\nGITHUB_TOKEN={}\n", token(1)));
    bench
}

#[test]
fn the_text_report_of_a_tree() {
    insta::assert_snapshot!(normalised(&tree().run(&["scan", "t"])));
}

#[test]
fn the_json_report_of_a_tree() {
    insta::assert_snapshot!(normalised(&tree().run(&["scan", "t", "--format", "json"])));
}

#[test]
fn the_sarif_report_of_a_tree() {
    let run = tree().run(&["scan", "t", "--format", "sarif"]);
    let pretty = serde_json::to_string_pretty(&run.json()).unwrap();
    insta::assert_snapshot!(normalised(&Run { stdout: pretty, ..run }));
}

#[test]
fn the_text_report_of_an_image_names_layers_steps_and_states() {
    let bench = Bench::new();
    bench.keep_key();
    let layers = [
        tar_of(&[("app/.env", format!("GITHUB_TOKEN={}\n", token(1)).as_bytes())]),
        tar_of(&[("app/.wh..env", b""), ("srv/key", format!("token {}\n", token(2)).as_bytes())]),
        tar_of(&[("srv/key", b"replaced")]),
    ];
    let config = serde_json::json!({
        "config": { "Env": [format!("GITHUB_TOKEN={}", token(3))] },
        "history": [
            { "created_by": "COPY . /app # buildkit" },
            { "created_by": format!("|1 GITHUB_TOKEN={} /bin/sh -c rm /app/.env", token(1)) },
            { "created_by": "/bin/sh -c make install" },
        ],
    });
    bench.write("image.tar", image_archive(&layers, config, "shop/api:1.2"));
    insta::assert_snapshot!(normalised(&bench.run(&["scan", "image.tar"])));
}

#[test]
fn every_format_can_be_written_in_one_run() {
    let bench = tree();
    let formats = ["json", "jsonl", "sarif", "junit", "gitlab", "github", "html"];
    let arguments: Vec<String> =
        formats.iter().map(|format| format!("--format={format}=out.{format}")).collect();
    let mut all = vec!["scan", "t", "--format", "text"];
    all.extend(arguments.iter().map(String::as_str));
    let run = bench.run(&all);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stdout.contains("Blocked: "), "{}", run.stdout);
    for format in formats {
        assert!(std::fs::metadata(bench.path(&format!("out.{format}"))).unwrap().len() > 100, "{format}");
    }
}

#[test]
fn no_escape_sequence_leaves_without_a_terminal() {
    let bench = tree();
    assert!(!bench.run(&["scan", "t"]).stdout.contains('\x1b'));
    assert!(bench.run(&["scan", "t", "--color", "always"]).stdout.contains("\x1b[1m"));
    bench.run(&["scan", "t", "--color", "always", "--output", "report.txt"]);
    assert!(!std::fs::read_to_string(bench.path("report.txt")).unwrap().contains('\x1b'));
}
