//! A flood of URLs that nobody else asks for.

use super::Scene;
use super::flood::{assert_within, flood};

const MAX_MIB: u64 = 32;
const MAX_BYTES: (&str, &str) = ("CSU_EDGE__MEMORY__MAX_BYTES", "32MiB");
const EVICTED: &str = "csu_edge_evictions_total{cause=\"capacity\",tier=\"memory\"}";

#[tokio::test]
async fn a_flood_of_catalogue_reads_stays_in_memory_and_leaves_the_hot_set() {
    // Below what is worth compressing, so that the test is about what an entry costs.
    let name = "x".repeat(940);
    let body = format!(r#"{{"RecordId":68719489871,"ItemId":"82000","Name":"{name}"}}"#);
    let fields = "content-type: application/json\r\n";
    let scene = Scene::new(&[MAX_BYTES], fields, body.as_bytes()).await;
    let read = |product: usize| {
        let target = format!("/Commerce/Products({product})/GetById(channelId=5637154326)");
        (target, String::new())
    };
    let flooded = flood(&scene, 45_000, read, |at| read(1_000_000 + at)).await;
    assert_within(&scene, MAX_MIB).await;
    assert!(scene.metric(EVICTED).await > 0);
    flooded.assert_hot_set_stayed();
}

#[tokio::test]
async fn a_flood_of_urls_stays_in_memory_and_leaves_the_hot_set() {
    let fields = "content-type: image/png\r\ncache-control: max-age=3600\r\netag: \"a\"\r\n";
    let policy = ("CSU_EDGE__GENERIC__POLICY", "rfc9111");
    let scene = Scene::new(&[MAX_BYTES, policy], fields, &[b'x'; 2_000]).await;
    let read = |at: usize| (format!("/media/{at}.png?v=1"), String::new());
    let flooded = flood(&scene, 45_000, read, |at| read(1_000_000 + at)).await;
    assert_within(&scene, MAX_MIB).await;
    assert!(scene.metric(EVICTED).await > 0);
    flooded.assert_hot_set_stayed();
}
