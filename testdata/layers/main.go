// Program layers makes an archive and two compressed forms of it with the libraries that build such layers in
// practice: containerd's stargz-snapshotter (eStargz) and containers/storage (zstd:chunked).
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containers/storage/pkg/chunked/compressor"
)

// Words that are no secrets, so that they can be looked for in a layer that is kept in the repository.
func files() map[string]string {
	long := strings.Repeat("a line of an ordinary file\n", 9000)
	return map[string]string{
		"app/.env":      "NAME=needle-one\n",
		"app/large.txt": long + "needle-two\n" + long,
		"etc/empty":     "",
		"etc/key":       "needle-three",
	}
}

func archive() []byte {
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	write := func(header *tar.Header, content string) {
		header.ModTime, header.Format = time.Unix(0, 0), tar.FormatPAX
		check(writer.WriteHeader(header))
		_, err := io.WriteString(writer, content)
		check(err)
	}
	for _, name := range []string{"app/", "etc/"} {
		write(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, "")
	}
	for _, name := range []string{"app/.env", "app/large.txt", "etc/empty", "etc/key"} {
		content := files()[name]
		write(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), PAXRecords: map[string]string{
			"SCHILY.xattr.user.note": "needle-in-an-attribute",
		}}, content)
	}
	write(&tar.Header{Typeflag: tar.TypeLink, Name: "app/link", Linkname: "etc/key"}, "")
	write(&tar.Header{Typeflag: tar.TypeSymlink, Name: "app/symbolic", Linkname: "../etc/key"}, "")
	check(writer.Close())
	return out.Bytes()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	folder := os.Args[1]
	plain := archive()
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	_, err := zip.Write(plain)
	check(err)
	check(zip.Close())
	check(os.WriteFile(filepath.Join(folder, "plain.tar.gz"), zipped.Bytes(), 0o644))

	blob, err := estargz.Build(io.NewSectionReader(bytes.NewReader(plain), 0, int64(len(plain))),
		estargz.WithChunkSize(64<<10))
	check(err)
	packed, err := io.ReadAll(blob)
	check(err)
	check(os.WriteFile(filepath.Join(folder, "estargz.tar.gz"), packed, 0o644))

	var chunked bytes.Buffer
	writer, err := compressor.ZstdCompressor(&chunked, map[string]string{}, nil)
	check(err)
	_, err = writer.Write(plain)
	check(err)
	check(writer.Close())
	check(os.WriteFile(filepath.Join(folder, "chunked.tar.zst"), chunked.Bytes(), 0o644))
}
