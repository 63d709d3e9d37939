# What `rotator rotate`, `run`, `respond` and `known` may do in a Vault or OpenBao. `secret` is the mount of a KV engine,
# version 2; `shop` stands for the folders that Rotations publish to, `pg` for the credentials of administrators.

# Journals, receipts' head, freeze, leader. Nothing here is ever deleted: an old version shows what happened.
path "secret/data/keyturn/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/delete/keyturn/*" {
  capabilities = ["deny"]
}
path "secret/undelete/keyturn/*" {
  capabilities = ["deny"]
}
path "secret/destroy/keyturn/*" {
  capabilities = ["deny"]
}

# A journal takes writes by check-and-set alone, and keeps so many versions. Nothing else of it can be set.
path "secret/metadata/keyturn/journal/*" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = {
    "cas_required" = [true]
    "max_versions" = ["16"]
  }
}

# What other clusters say is theirs to say.
path "secret/data/keyturn/acks/*" {
  capabilities = ["read"]
}

# What consumers read.
path "secret/data/shop/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/shop/*" {
  capabilities = ["read"]
}

# Administrators. Where they are Rotations too, add "create" and "update".
path "secret/data/pg/*" {
  capabilities = ["read"]
}
path "secret/metadata/pg/*" {
  capabilities = ["read"]
}
