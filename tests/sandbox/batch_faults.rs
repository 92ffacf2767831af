//! Sickness inside batches.

use std::time::Duration;

use csu_edge::sandbox::Sickness;
use http::StatusCode;
use serde_json::json;

use crate::batch::{body, change_set, get, part, post, send, send_raw, statuses, units};
use crate::client::Scene;

const DEADLINE: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(30);

fn two_parts() -> [String; 2] {
    [part("", &get("GetCurrencies()")), part("", &get("GetChannels()"))]
}

#[tokio::test]
async fn a_fault_of_a_status_strikes_its_part_alone() {
    let scene = Scene::standard().await;
    let status = Sickness::Status(StatusCode::SERVICE_UNAVAILABLE);
    scene.sandbox.fault("GetCurrencies", status, LONG);
    let go_on = [("Prefer", "continue-on-error")];
    assert_eq!(statuses(&send(&scene, &go_on, &two_parts()).await), [503, 200]);
    assert_eq!(statuses(&send(&scene, &[], &two_parts()).await), [503]);
    scene.sandbox.fault("Carts/Create", status, LONG);
    let set = change_set(&[part("1", &post("Carts", &json!({})))]);
    assert_eq!(statuses(&send(&scene, &[], &[set]).await), [503]);
}

#[tokio::test]
async fn a_fault_of_all_or_of_the_batch_strikes_the_batch() {
    let scene = Scene::standard().await;
    let status = Sickness::Status(StatusCode::BAD_GATEWAY);
    for target in ["*", "$batch"] {
        assert!(scene.sandbox.fault(target, status, LONG));
        assert_eq!(send(&scene, &[], &two_parts()).await.status, StatusCode::BAD_GATEWAY);
        scene.clock.advance(LONG);
    }
    assert_eq!(scene.sandbox.requests_in_batches("GetChannels"), 0);
    assert_eq!(statuses(&send(&scene, &[], &two_parts()).await), [200, 200]);
}

#[tokio::test]
async fn a_part_that_breaks_off_or_is_reset_takes_the_whole_answer_with_it() {
    let scene = Scene::standard().await;
    let whole = body("outer", &two_parts());
    scene.sandbox.fault("GetChannels", Sickness::Truncate, LONG);
    let error = send_raw(&scene, &[], &whole).await.unwrap_err();
    assert!(error.contains("IncompleteBody"), "{error}");
    scene.sandbox.fault("GetChannels", Sickness::Reset, LONG);
    assert!(send_raw(&scene, &[], &whole).await.is_err());
    assert_eq!(scene.sandbox.requests_in_batches("GetCurrencies"), 2);
    scene.clock.advance(LONG);
    assert_eq!(statuses(&send(&scene, &[], &two_parts()).await), [200, 200]);
}

#[tokio::test]
async fn a_part_that_hangs_holds_the_batch_and_runs_once() {
    let scene = Scene::standard().await;
    let set = || {
        let create = |id| part(id, &post("Carts", &json!({})));
        change_set(&[create("1"), part("2", &post("$1/Copy", &json!({}))), create("3")])
    };
    scene.sandbox.fault("Carts/Copy", Sickness::Hang, LONG);
    let parts = [set(), part("", &get("GetChannels()"))];
    let hanging = send(&scene, &[], &parts);
    let ending = async {
        while scene.sandbox.requests_in_batches("Carts/Copy") == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(scene.sandbox.requests_in_batches("GetChannels"), 0);
        scene.clock.advance(LONG);
    };
    let ending = tokio::time::timeout(DEADLINE, ending);
    let (reply, ended) = tokio::join!(hanging, ending);
    ended.unwrap();
    let found = units(&reply);
    assert_eq!((found[0].len(), found[1][0].status), (3, 200));
    assert_eq!(scene.sandbox.requests_in_batches("Carts/Create"), 2);
    // Identifiers come in a row: none was spent on a run that was taken back.
    let untroubled = Scene::standard().await;
    let expected = units(&send(&untroubled, &[], &[set()]).await);
    assert_eq!(found[0][2].json()["Id"], expected[0][2].json()["Id"]);
}
