//! How `Cache-Control` is read (§4.2.1, §5.2).

use crate::play::reuse;

const LM: &str = "last-modified: {-100000}";

#[tokio::test]
async fn directives_are_found_wherever_the_grammar_lets_them_stand() {
    reuse(&[
        ("in upper case", &["cache-control: MAX-AGE=60"], 50, true),
        ("in mixed case", &["cache-control: Max-Age=60"], 50, true),
        ("no-store in upper case", &["cache-control: NO-STORE, max-age=60"], 0, false),
        ("private in mixed case", &["cache-control: Private, max-age=60"], 0, false),
        ("no-cache in upper case", &["cache-control: max-age=60, NO-CACHE"], 0, false),
        ("the field's name in another case", &["CACHE-Control: max-age=60"], 50, true),
        ("without white space", &["cache-control: public,max-age=60,no-transform"], 50, true),
        ("with a tab", &["cache-control: public,\tmax-age=60"], 50, true),
        ("with much white space", &["cache-control:   public  ,   max-age=60  "], 50, true),
        ("no-store after white space", &["cache-control: max-age=60 ,  no-store "], 0, false),
        // RFC 9110 §5.6.1.2: empty members are ignored.
        ("with empty members", &["cache-control: , ,max-age=60,,"], 50, true),
        ("no-store after empty members", &["cache-control: ,,max-age=60,,no-store,"], 0, false),
        // RFC 9110 §5.3: several lines are one list.
        ("over two lines", &["cache-control: public", "cache-control: max-age=60"], 50, true),
        ("no-store alone", &["cache-control: max-age=60", "cache-control: no-store"], 0, false),
        ("no-store first", &["cache-control: no-store", "cache-control: max-age=60"], 0, false),
        ("no-cache alone", &["cache-control: max-age=60", "cache-control: no-cache"], 0, false),
        ("private alone", &["cache-control: max-age=60", "cache-control: private"], 0, false),
        (
            "s-maxage alone",
            &["cache-control: max-age=1", "x-between: 1", "cache-control: s-maxage=60"],
            50,
            true,
        ),
    ])
    .await;
}

/// §5.2: a cache MUST ignore what it does not know.
#[tokio::test]
async fn unknown_directives_are_ignored() {
    reuse(&[
        ("a name", &["cache-control: max-age=60, x-unknown"], 50, true),
        ("a name before", &["cache-control: x-unknown, max-age=60"], 50, true),
        ("with a value", &["cache-control: x-unknown=1, max-age=60"], 50, true),
        ("with a quoted value", &["cache-control: x=\"1\", max-age=60"], 50, true),
        ("like no-store", &["cache-control: no-storeish, max-age=60"], 50, true),
        ("like private", &["cache-control: x-private, max-age=60"], 50, true),
        ("like max-age", &["cache-control: xmax-age=60"], 1, false),
        ("longer than max-age", &["cache-control: max-ages=60"], 1, false),
        ("before no-store", &["cache-control: x=1, no-store, max-age=60"], 0, false),
        ("of requests", &["cache-control: only-if-cached, max-stale=1, max-age=60"], 50, true),
        ("min-fresh of requests", &["cache-control: min-fresh=1000, max-age=60"], 50, true),
    ])
    .await;
}

/// RFC 9110 §5.6.4: what stands in quotes is one value.
#[tokio::test]
async fn what_stands_in_quotes_is_no_directive() {
    reuse(&[
        ("a lifetime", &["cache-control: x=\"max-age=0\", max-age=60"], 50, true),
        ("a lifetime after a comma", &["cache-control: x=\"a, max-age=60\""], 1, false),
        ("a lifetime before", &["cache-control: x=\"a, max-age=1\", max-age=60"], 50, true),
        ("no-store", &["cache-control: x=\"no-store\", max-age=60"], 50, true),
        ("no-store in a list", &["cache-control: x=\"a, no-store, b\", max-age=60"], 50, true),
        ("private after", &["cache-control: max-age=60, x=\"a, private\""], 50, true),
        (
            "an escaped quote",
            &["cache-control: x=\"a\\\", no-store, \\\"b\", max-age=60"],
            50,
            true,
        ),
        ("an escaped backslash", &["cache-control: x=\"a\\\\\", no-store, max-age=60"], 0, false),
        ("octets past ASCII", &["cache-control: x=\"\u{f6}\", max-age=60"], 50, true),
        ("no-store behind quotes", &["cache-control: x=\"a, b\", no-store, max-age=60"], 0, false),
    ])
    .await;
}

/// §5.2: a recipient ought to accept a value both as a token and quoted.
#[tokio::test]
async fn a_lifetime_may_be_quoted() {
    reuse(&[
        ("max-age", &["cache-control: max-age=\"60\""], 50, true),
        ("max-age, over", &["cache-control: max-age=\"60\""], 70, false),
        ("s-maxage", &["cache-control: s-maxage=\"60\", max-age=1"], 50, true),
        ("max-age=0", &["cache-control: max-age=\"0\"", LM], 0, false),
    ])
    .await;
}

/// §4.2.1: invalid freshness information is encouraged to be stale. A Last-Modified beside it does
/// not save it: there is a lifetime, only not one that can be read.
#[tokio::test]
async fn a_lifetime_that_cannot_be_read_is_over() {
    let values = [
        "",
        "=",
        "=-1",
        "=-60",
        "=+60",
        "=60.5",
        "=60.0",
        "=6e1",
        "=0x3c",
        "='60'",
        "=60s",
        "=60 s",
        "=6 0",
        "=sixty",
        "=1h",
        "=60;x=1",
        "=\"60",
        "=\"\"",
        "=\"60.5\"",
        "=\"-60\"",
        " = 60",
        "=\u{a0}60",
    ];
    for name in ["max-age", "s-maxage"] {
        let lines: Vec<[String; 2]> =
            values.iter().map(|v| [format!("cache-control: {name}{v}"), LM.to_owned()]).collect();
        let lines: Vec<[&str; 2]> = lines.iter().map(|[one, two]| [&one[..], &two[..]]).collect();
        let rows: Vec<(&str, &[&str], u64, bool)> =
            lines.iter().map(|lines| ("malformed", &lines[..], 1, false)).collect();
        reuse(&rows).await;
    }
    reuse(&[
        ("s-maxage beside max-age", &["cache-control: s-maxage=x, max-age=60"], 1, false),
        ("max-age beside Expires", &["cache-control: max-age=x", "expires: {+60}"], 1, false),
    ])
    .await;
}

/// §1.2.2: past what can be represented is 2^31 s, or the most that can be.
#[tokio::test]
async fn a_lifetime_past_all_numbers_is_long() {
    reuse(&[
        ("2^31 - 1", &["cache-control: max-age=2147483647"], 3600, true),
        ("2^31", &["cache-control: max-age=2147483648"], 3600, true),
        ("2^32", &["cache-control: max-age=4294967296"], 3600, true),
        ("2^63", &["cache-control: max-age=9223372036854775808"], 3600, true),
        ("2^64", &["cache-control: max-age=18446744073709551616"], 3600, true),
        ("30 digits", &["cache-control: max-age=999999999999999999999999999999"], 3600, true),
        ("s-maxage", &["cache-control: s-maxage=99999999999999999999, max-age=1"], 3600, true),
        ("with zeros before", &["cache-control: max-age=000000000000000000000060"], 50, true),
        ("with zeros before, over", &["cache-control: max-age=00000000000000000060"], 70, false),
    ])
    .await;
}

/// §4.2.1: of several values the first counts, or all is stale; of what conflicts, the stricter.
#[tokio::test]
async fn what_conflicts_is_read_strictly() {
    reuse(&[
        ("short, then long", &["cache-control: max-age=1, max-age=600"], 20, false),
        ("zero, then long", &["cache-control: max-age=0, max-age=600"], 1, false),
        (
            "short, then long, over two lines",
            &["cache-control: max-age=1", "cache-control: max-age=600"],
            20,
            false,
        ),
        ("malformed, then long", &["cache-control: max-age=x, max-age=600"], 1, false),
        ("s-maxage short, then long", &["cache-control: s-maxage=1, s-maxage=600"], 20, false),
        ("no-cache beside max-age", &["cache-control: max-age=600, no-cache"], 1, false),
        ("no-cache beside s-maxage", &["cache-control: no-cache, s-maxage=600"], 1, false),
        ("no-store beside public", &["cache-control: public, no-store, max-age=600"], 1, false),
        ("private beside public", &["cache-control: public, private, max-age=600"], 1, false),
        ("private beside s-maxage", &["cache-control: s-maxage=600, private"], 1, false),
    ])
    .await;
}
