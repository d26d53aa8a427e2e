CREATE TABLE "testing_branches" (
	"repository_id" text NOT NULL,
	"host" text NOT NULL,
	"head" text NOT NULL,
	"seen_at" bigint NOT NULL,
	"state" text NOT NULL,
	"trial_id" text,
	CONSTRAINT "testing_branches_repository_id_host_pk" PRIMARY KEY("repository_id","host")
);
--> statement-breakpoint
ALTER TABLE "testing_branches" ADD CONSTRAINT "testing_branches_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "testing_branches" ADD CONSTRAINT "testing_branches_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE cascade ON UPDATE no action;