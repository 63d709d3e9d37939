//! The HTML report in a real browser.

use shared::require;

use crate::browser::Browser;
use crate::program::{Bench, image_archive, tar_of, token};

/// What a hostile target would put into a report.
const HOSTILE: &str =
    "x<img src=y onerror=document.title='owned'>&\"'</script><script>document.title='owned'</script>";

/// An image with three layers, one secret deleted, one in the configuration; a file named to break the page.
fn page(bench: &Bench) -> std::path::PathBuf {
    bench.keep_key();
    let many: Vec<(String, String)> = (0..150)
        .map(|index| (format!("app/f{index:03}.env"), format!("GITHUB_TOKEN={}\n", token(100 + index))))
        .collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    let layers = [
        tar_of(&[
            ("usr/lib/big", &[7; 100_000]),
            ("app/.env", format!("GITHUB_TOKEN={}\n", token(1)).as_bytes()),
        ]),
        tar_of(&[("app/.wh..env", b""), (HOSTILE, format!("token {}\n", token(2)).as_bytes())]),
        tar_of(&many),
    ];
    let config = serde_json::json!({
        "config": { "Env": [format!("GITHUB_TOKEN={}", token(3))] },
        "history": [
            { "created_by": "COPY . /app # buildkit" },
            { "created_by": format!("RUN rm /app/.env # {HOSTILE}") },
            { "created_by": "RUN make" },
        ],
    });
    bench.write("image.tar", image_archive(&layers, config, "shop/api:1.2"));
    let run = bench.run(&["scan", "image.tar", "--format", "html=report.html"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    bench.path("report.html")
}

/// What the line above the list says.
const COUNT: &str = "return document.getElementById('count').textContent";
/// The place of each row that the list shows.
const ROWS: &str = "return [...document.querySelectorAll('.row .where')].map((row) => row.textContent)";
const ROW_COUNT: &str = "return document.querySelectorAll('.row').length";
const TITLE: &str = "return document.title";

#[test]
fn a_person_finds_their_way_through_the_page() {
    let bench = Bench::new();
    let browser = require!(Browser::start(1280, 900, "light"));
    let file = page(&bench);
    browser.open(&file, "");
    browser.shows(COUNT, "153 secrets in 153 places");
    let layers = browser
        .run("return [...document.querySelectorAll('.layer')].map((bar) => bar.getAttribute('aria-label'))");
    let layers: Vec<&str> = layers.as_array().unwrap().iter().map(|bar| bar.as_str().unwrap()).collect();
    assert_eq!(layers.len(), 4, "{layers:?}");
    assert!(
        layers[0].starts_with("0 COPY . /app # buildkit, ") && layers[0].ends_with("1 place, 1 blocking"),
        "{layers:?}"
    );
    let widths = browser.run(
        "return [...document.querySelectorAll('.fill')].map((bar) => bar.getBoundingClientRect().width)",
    );
    assert!(widths[0].as_f64() > widths[1].as_f64() && widths[2].as_f64() > widths[0].as_f64(), "{widths}");

    // A layer, clicked, filters; clicked again, it does not.
    browser.click(".layer:nth-child(2)");
    browser.shows(COUNT, "1 secret in 1 place of 153");
    browser.click(".layer:nth-child(2)");
    // A state.
    browser.run("[...document.querySelectorAll('#chips button')].find((chip) => chip.textContent.startsWith('deleted')).click()");
    browser.shows(ROWS, vec!["app/.env:1:14"]);
    // Opened, a row says what to do.
    browser.click(".row summary");
    browser.shows("return document.querySelectorAll('.row .body').length", 1);
    let body = browser.run("return document.querySelector('.row .body').innerText");
    let body = body.as_str().unwrap();
    assert!(body.contains("Revoke it at https://") && body.contains("Deleted by layer"), "{body}");
    browser.click("#clear");
    // Words, all of which must occur.
    browser.type_into("#search", "app/f1 env github-pat");
    browser.shows(COUNT, "50 secrets in 50 places of 153");
    // Escape clears; the list comes in pieces; keys walk through it.
    browser.press(&["\u{e00c}"]);
    browser.shows(COUNT, "153 secrets in 153 places");
    browser.shows(ROW_COUNT, 100);
    browser.click("#more");
    browser.shows(ROW_COUNT, 153);
    browser.run("document.activeElement.blur()");
    browser.press(&["j", "j", "\u{e007}"]);
    browser.shows("return [...document.querySelectorAll('.row')].findIndex((row) => row.open)", 1);
    browser.press(&["/", "z", "z", "z"]);
    browser.shows(COUNT, "No place matches these filters of 153");
    // A link to one secret.
    browser.open(&file, "#app/f149.env");
    browser.run("location.reload()");
    browser.shows(ROWS, vec!["app/f149.env:1:14"]);
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn what_a_target_says_is_text_and_never_runs() {
    let bench = Bench::new();
    let browser = require!(Browser::start(1280, 900, "dark"));
    browser.open(&page(&bench), "");
    assert_eq!(browser.run(TITLE), "block: image.tar");
    assert_eq!(browser.run("return document.querySelectorAll('img').length"), 0);
    browser.type_into("#search", "onerror");
    browser.shows(ROW_COUNT, 1);
    let shown = browser.run(ROWS).to_string();
    assert!(shown.contains("<img src=y onerror="), "it is shown as it is: {shown}");
    // The policy: no script but the page's own, no request, nowhere.
    browser.run("const script = document.createElement('script'); script.textContent = 'document.title = \"owned\"'; document.body.append(script)");
    browser.run("const picture = document.createElement('img'); picture.src = 'http://127.0.0.1:9/x.png'; document.body.append(picture)");
    assert_eq!(browser.run(TITLE), "block: image.tar");
    let mut refused = browser.console();
    for _ in 0..300 {
        if refused.len() >= 2 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        refused.extend(browser.console());
    }
    assert!(
        refused.len() >= 2 && refused.iter().all(|line| line.contains("Content Security Policy")),
        "{refused:?}"
    );
}

#[test]
fn nothing_is_wider_than_a_phone() {
    let bench = Bench::new();
    let browser = require!(Browser::start(390, 844, "light"));
    browser.open(&page(&bench), "");
    browser.click(".row summary");
    assert_eq!(browser.run("return innerWidth"), 390);
    assert_eq!(browser.run("return document.documentElement.scrollWidth"), 390);
    // Light and dark differ, and the button changes from one to the other.
    let back = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(back);
    browser.click("#theme");
    assert_ne!(browser.run(back), light);
    assert!(browser.screenshot().len() > 10_000);
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn a_clean_run_is_a_page_too() {
    let bench = Bench::new();
    let browser = require!(Browser::start(1280, 900, "dark"));
    bench.write("clean/a", "nothing here");
    std::os::unix::fs::symlink("nowhere", bench.path("clean/link")).unwrap();
    assert_eq!(bench.run(&["scan", "clean", "--format", "html=report.html"]).code, 0);
    browser.open(&bench.path("report.html"), "");
    browser.shows(COUNT, "Nothing was found");
    let text = browser.run("return document.body.innerText");
    let text = text.as_str().unwrap();
    assert!(text.contains("Pass: nothing found") && text.contains("Nothing to search: 1"), "{text}");
    assert_eq!(browser.console(), Vec::<String>::new());
}
