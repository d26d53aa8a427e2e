CREATE TABLE "repository_leases" (
	"repository_id" text PRIMARY KEY NOT NULL,
	"token" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "repository_leases" ADD CONSTRAINT "repository_leases_repository_id_repositories_id_fk" FOREIGN KEY ("repository_id") REFERENCES "public"."repositories"("id") ON DELETE cascade ON UPDATE no action;