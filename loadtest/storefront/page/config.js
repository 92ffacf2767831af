// What a storefront must know of its Retail Server. `loadtest/storefront/serve` answers this file
// from its arguments; on another host, edit it.
export default {
  // The service root: csu-edge's, or a Commerce Scale Unit's own.
  base: "http://127.0.0.1:8080/Commerce",
  // The operating unit of the online channel, sent as OUN. Left empty, the first channel is taken.
  operatingUnit: "128",
  // Names, labels and error texts come in it.
  language: "en-US",
  // Where images are; their names come from Retail Server.
  media: "media/",
};
