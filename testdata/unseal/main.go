// Opens a SealedSecret with the controller's own library: for the tests of `rotator seal`.
package main

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"os"

	"github.com/bitnami-labs/sealed-secrets/pkg/apis/sealedsecrets/v1alpha1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/keyutil"
)

// unseal KEY.pem SEALED.json: the Secret as JSON on standard output, or why not and 1.
func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(keyFile, sealedFile string) error {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	key, err := keyutil.ParsePrivateKeyPEM(text)
	if err != nil {
		return err
	}
	if text, err = os.ReadFile(sealedFile); err != nil {
		return err
	}
	var sealed v1alpha1.SealedSecret
	if err := json.Unmarshal(text, &sealed); err != nil {
		return err
	}
	secret, err := sealed.Unseal(scheme.Codecs, map[string]*rsa.PrivateKey{"key": key.(*rsa.PrivateKey)})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(secret)
}
