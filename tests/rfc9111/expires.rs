//! The dates that Expires may hold, and those that it may not (§4.2, §5.3, RFC 9110 §5.6.7).

use crate::origin::with_dates;
use crate::play::reuse;
use crate::support::node::START;

/// RFC 9110 §5.6.7: a recipient MUST accept all three forms.
#[tokio::test]
async fn all_three_forms_of_a_date_are_read() {
    reuse(&[
        ("the preferred form", &["expires: {+600}"], 500, true),
        ("the preferred form, over", &["expires: {+600}"], 700, false),
        ("RFC 850", &["expires: {850+600}"], 500, true),
        ("RFC 850, over", &["expires: {850+600}"], 700, false),
        ("asctime", &["expires: {asc+600}"], 500, true),
        ("asctime, over", &["expires: {asc+600}"], 700, false),
        // The day has two places there, the first one blank: 2026-05-07.
        ("asctime with a short day", &["expires: {asc+864000}"], 500, true),
        ("another form than Date", &["date: {asc+0}", "expires: {850+600}"], 500, true),
        // §4.2: a cache SHOULD match names without regard to case.
        ("in lower case", &["expires: {low+600}"], 500, true),
        ("in lower case, over", &["expires: {low+600}"], 700, false),
        // RFC 9110 §5.6.7: more than 50 years ahead is in the past.
        ("99 is 1999", &["expires: Thursday, 22-Apr-99 10:00:00 GMT"], 0, false),
        ("30 is 2030", &["expires: Monday, 22-Apr-30 10:00:00 GMT"], 500, true),
        ("2099 is 2099", &["expires: Wed, 22 Apr 2099 10:00:00 GMT"], 500, true),
        ("far ahead", &["expires: Fri, 31 Dec 9999 23:59:59 GMT"], 500, true),
        ("long ago", &["expires: Thu, 01 Jan 1970 00:00:00 GMT"], 0, false),
        ("before that", &["expires: Mon, 01 Jan 1900 00:00:00 GMT"], 0, false),
        ("a leap second", &["expires: Wed, 30 Jun 2027 23:59:60 GMT"], 500, true),
    ])
    .await;
}

/// §5.3: an invalid date, "0" above all, MUST be taken for one in the past. Beside it stands what
/// would be fresh by a heuristic, were the field overlooked.
#[tokio::test]
async fn what_is_no_date_is_in_the_past() {
    let malformed = [
        "0",
        "-1",
        "1",
        "3600",
        "",
        "never",
        "now",
        "Tomorrow",
        "1777287600",
        "2026-05-27T10:00:00Z",
        "Wed, 27 May 2026",
        "27 May 2026 10:00:00",
        "Wed 27 May 2026 10:00:00 GMT",
        "Wed, 27-May-2026 10:00:00 GMT",
        "Wed, 27 May 26 10:00:00 GMT",
        "Wed, 27 May 2026 10:00 GMT",
        "Wed, 27 May 2026 1:00:00 GMT",
        "Wed, 27 May 2026 25:00:00 GMT",
        "Wed, 27 May 2026 10:61:00 GMT",
        "Wed, 27 May 2026 10.00.00 GMT",
        "Wed, 32 May 2026 10:00:00 GMT",
        "Wed, 00 May 2026 10:00:00 GMT",
        "Wed, 27 Mai 2026 10:00:00 GMT",
        "Wed,  27 May 2026 10:00:00 GMT",
        "Wed, 27 May 2026  10:00:00 GMT",
        "\"Wed, 27 May 2026 10:00:00 GMT\"",
        "Wed, 27 May 2026 10:00:00 GMT; x=1",
        "Wed, 27 May 2026 10:00:00 GMT, x",
        "Wed May 27 10:00:00 26",
        "May 27 10:00:00 2026",
    ];
    for base in ["last-modified: {-100000}", "x-nothing: 1"] {
        let lines: Vec<[String; 2]> =
            malformed.iter().map(|date| [format!("expires: {date}"), base.to_owned()]).collect();
        let lines: Vec<[&str; 2]> = lines.iter().map(|[one, two]| [&one[..], &two[..]]).collect();
        let rows: Vec<(&str, &[&str], u64, bool)> = malformed
            .iter()
            .zip(&lines)
            .map(|(&date, lines)| (date, &lines[..], 0, false))
            .collect();
        reuse(&rows).await;
    }
}

/// §4.2: a zone other than "GMT" SHOULD be invalid, and local zones MUST NOT count.
#[tokio::test]
async fn a_date_of_another_zone_is_in_the_past() {
    let lines: Vec<[String; 1]> = ["zoneless", "UTC", "UT", "Z", "EST", "CEST", "PST", "Europe"]
        .iter()
        .map(|zone| [with_dates(&format!("expires: {{{zone}+6000}}"), START)])
        .chain(
            ["+0000", "-0800", "+02:00"]
                .iter()
                .map(|zone| [with_dates("expires: {+6000}", START).replace("GMT", zone)]),
        )
        .collect();
    let lines: Vec<[&str; 1]> = lines.iter().map(|[line]| [&line[..]]).collect();
    let rows: Vec<(&str, &[&str], u64, bool)> =
        lines.iter().map(|line| (line[0], &line[..], 0, false)).collect();
    reuse(&rows).await;
}

/// §4.2.1: of several the first counts, or all is stale: in either way this is over.
#[tokio::test]
async fn of_several_the_first_counts_at_most() {
    reuse(&[
        ("past, then ahead", &["expires: {-60}", "expires: {+600}"], 1, false),
        ("0, then ahead", &["expires: 0", "expires: {+600}"], 1, false),
        ("short, then long", &["expires: {+10}", "expires: {+600}"], 20, false),
    ])
    .await;
}
