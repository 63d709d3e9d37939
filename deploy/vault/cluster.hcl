# What `rotator acknowledge --as berlin` may do: read what is published, and say its own word.
path "secret/data/shop/*" {
  capabilities = ["read"]
}
path "secret/data/keyturn/acks/+/+/berlin" {
  capabilities = ["create", "read", "update"]
}
