# What `rotator sync` may do: read what it brings into the cluster, and nothing of a rotation.
path "secret/data/shop/*" {
  capabilities = ["read"]
}
path "secret/metadata/shop/*" {
  capabilities = ["read", "list"]
}
# OpenBao tells the metadata of a whole folder in one request: `rotator run` then follows hundreds of secrets at the price
# of one. HashiCorp Vault has no such path, and each secret is asked for.
path "secret/detailed-metadata/shop/*" {
  capabilities = ["list"]
}
path "secret/detailed-metadata/shop" {
  capabilities = ["list"]
}
