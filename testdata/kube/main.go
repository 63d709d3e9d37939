// Program kube runs one part of Kubernetes, named by its first argument: the tests need a real API
// server, no package registry ships one, and the Go modules of Kubernetes build with plain `go build`.
package main

import (
	"context"
	"fmt"
	"os"
	_ "time/tzdata" // CronJobs with a time zone, on machines without a zone database

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json, which cluster tests use
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

const usage = "usage: kube kube-apiserver|kube-controller-manager|kube-scheduler|kubelet|kubectl [flag...]"

// command builds the part that name asks for, or nil for a name that is not ours.
func command(name string) *cobra.Command {
	switch name {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return controllers.NewControllerManagerCommand()
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	case "kubectl":
		return kubectl.NewDefaultKubectlCommand()
	}
	return nil
}

func main() {
	var part *cobra.Command
	if len(os.Args) > 1 {
		part = command(os.Args[1])
	}
	if part == nil {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	// Each part reads its own flags from os.Args, and finds itself where a program's name stands.
	os.Args = os.Args[1:]
	os.Exit(cli.Run(part))
}
