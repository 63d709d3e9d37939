# What `rotator sync` may do: read what it brings into the cluster, and nothing of a rotation.
path "secret/data/shop/*" {
  capabilities = ["read"]
}
path "secret/metadata/shop/*" {
  capabilities = ["read", "list"]
}
