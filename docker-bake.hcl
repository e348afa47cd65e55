# Images of a release, for amd64 and arm64:
#
#     VERSION=0.1.0 COMMIT=$(git rev-parse HEAD) IMAGE=registry.example.com/readhook docker buildx bake --push
#
# The Dockerfile is built on a machine of each kind: give the builder one (`docker buildx create --append --platform
# linux/arm64 …`). Without, QEMU plays it (`binfmt_misc`), and an hour goes by.
variable "IMAGE" {
  default = "readhook"
}
variable "VERSION" {
  default = ""
}
variable "COMMIT" {
  default = ""
}

target "readhook" {
  args = {
    VERSION = VERSION
    COMMIT  = COMMIT
  }
  tags      = [VERSION == "" ? IMAGE : "${IMAGE}:${VERSION}"]
  platforms = ["linux/amd64", "linux/arm64"]
  attest    = ["type=provenance,mode=max", "type=sbom"]
}

# With Kafka's client besides.
target "readhook-kafka" {
  inherits = ["readhook"]
  args     = { FEATURES = "sink-kafka" }
  tags     = [VERSION == "" ? "${IMAGE}:kafka" : "${IMAGE}:${VERSION}-kafka"]
}

group "default" {
  targets = ["readhook"]
}
